"""A project of a user's: `protoway init` writes it, `protoway dev` runs it."""
