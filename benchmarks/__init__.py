"""Measurements of Chaussette beside its peers; see README.md."""
