"""The page of `vosjax app`: paint objects, watch them followed, put them right.

`server` answers requests that `guard` lets through. A `projects.Project` is a folder of
plain files; `follow` segments its video in a thread, and `exporting` writes results.
"""
