"""What touches the world: Kafka, Postgres, Redis, gateways, the clock. Adapters translate and nothing else."""
