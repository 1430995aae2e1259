"""Manages CRMs and operators: who they are and what they may do."""
