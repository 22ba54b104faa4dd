"""The contract: a descriptor set becomes methods, bindings and a route table.

Rule: pure, and used at start-up only, except `RouteTable.match`. An error in a contract is a `ContractError`,
raised before the first request. Nothing is guessed; of two conflicting rules neither wins.
"""
