"""`protoway mock`: an edge whose answers are made from the contract alone."""
