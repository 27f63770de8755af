"""Sources broken on purpose: does each verdict turn?"""
