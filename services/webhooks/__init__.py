"""Webhooks: events for the endpoints of a company's own systems."""
