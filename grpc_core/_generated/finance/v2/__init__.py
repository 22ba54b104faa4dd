"""Made from protos/ by `make generate`; not to be edited."""
