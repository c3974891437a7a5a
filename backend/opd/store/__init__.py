"""What is on disk: run folders with their event logs, and the money ledger. Plain SQLite, no ORM."""
