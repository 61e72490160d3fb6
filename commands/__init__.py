"""What the system chooses: deciders, routing, and the handler that drives them over ports."""
