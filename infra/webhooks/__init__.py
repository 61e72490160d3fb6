"""How webhooks leave: signed, to addresses that anybody may call, and to nobody else."""
