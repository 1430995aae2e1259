"""Repeatable measurements, each as a ratio to something measured in the same run; see README.md."""
