"""The commands of `payments-gateway`, one in each module: they parse and print; what they do is elsewhere."""
