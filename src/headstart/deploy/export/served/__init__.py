"""What is copied into a server folder; it imports only what goes with it."""
