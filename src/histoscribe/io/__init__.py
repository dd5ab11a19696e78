"""Readers of vendor folders and files, each giving a Section; the preflight that says whether its parts fit."""
