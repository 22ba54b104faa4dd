"""Header sections: their compression (RFC 7541), and what HTTP/2 requires of them (RFC 9113, section 8).

Sans-IO. Imports no other room.
"""
