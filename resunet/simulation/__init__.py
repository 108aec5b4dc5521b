"""Simulated patients: a real head, warped into others, with a tumour that grows in it, seen by a scanner of its own.

The head is Colin27 (Holmes et al., J Comput Assist Tomogr 22:324, 1998). What is made of it must be labelled as simulated
wherever it is shown.
"""
