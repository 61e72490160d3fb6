"""What moves: Faust apps whose agents hand batches of records to the projections. One process, one app, one group."""
