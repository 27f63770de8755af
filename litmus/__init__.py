"""Litmus tests: small concurrent programs, and what the memory models say of them."""
