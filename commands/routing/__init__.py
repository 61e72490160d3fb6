"""Which gateways a payment may try, in which order, and whether it may try another one."""
