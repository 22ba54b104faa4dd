"""Documents and configurations rendered from a contract and its bindings. Pure functions."""
