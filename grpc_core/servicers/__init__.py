"""The servicers of the contract: one module per service and version, one method per RPC.

Rule: a method only translates between messages and the domain. Errors of the domain are raised; `guard` turns
them into a status. The versions of a service share the domain, and nothing else.
"""
