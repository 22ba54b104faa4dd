"""`protoway call`: a client of the contract, over gRPC or over the edge's HTTP."""
