"""Kubernetes controllers in asyncio."""
