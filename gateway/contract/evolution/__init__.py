"""What a change of the contract breaks, and for whom.

`differences.differences` compares two contracts. Rule: pure; nothing is read, and nothing is decided about
what becomes of a change.
"""
