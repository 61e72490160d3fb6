"""What the system speaks: frozen events, commands, values and views, their errors and the one codec."""
