"""A contract that changes while it is served: its sources, how it is compiled, and when it is replaced.

Rule: a contract that is wrong never replaces one that was right.
"""
