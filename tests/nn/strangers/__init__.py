"""Two layers, a combinator and an activation from outside, each in one short file.

All but `shift.py` were written from CONTRIBUTING.md alone.
They hold the protocol to its promise: every one joins the conformance suite by one line and passes it whole.
"""
