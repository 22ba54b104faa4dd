"""Other views of the contract: pure functions of the same methods and bindings that the edge serves."""
