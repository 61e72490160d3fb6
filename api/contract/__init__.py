"""The contract with clients and downstream services: what every route takes and answers, and what is on every topic."""
