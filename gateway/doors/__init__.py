"""Doors: how requests come in. Each turns the bytes of its protocol into requests, and answers into bytes."""
