"""dentryproof: does any overlap of a filesystem's dentry callbacks touch freed memory?

The version stands here and nowhere else; pyproject.toml reads it.
"""

__version__ = "0.1.0"
