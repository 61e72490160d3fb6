"""What the system speaks: HTTP routes of a few lines over the handler and the read models, and the service's start."""
