"""What every HTTP view shares: JSON, problem+json, step calls, waiting, health, the client."""
