"""Two layers, a combinator and an activation from outside, each written from CONTRIBUTING.md alone in one short file.

They hold the protocol to its promise: every one joins the conformance suite by one line and passes it whole.
"""
