"""Holds the blueprint that all pages register their views with."""

from flask import Blueprint

PREFIX = "/admin"

blueprint = Blueprint("dashboard", __name__, url_prefix=PREFIX, template_folder="templates")
