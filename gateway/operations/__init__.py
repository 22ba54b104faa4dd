"""What observes an edge that runs, and what tells its operator and its supervisor how it is.

Rule: it watches and tells; nothing here decides about a request.
"""
