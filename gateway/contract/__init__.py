"""What the .proto says: a descriptor set becomes methods, bindings and a table of routes.

Rule: pure, and used at start-up only, but for `RouteTable.match`. What is wrong in a contract is a
`ContractError` here, before the first request; nothing is guessed and the last one never wins.
"""
