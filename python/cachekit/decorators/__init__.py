"""What stands behind the decorator."""

from __future__ import annotations

from .orchestrator import FeatureOrchestrator

__all__ = ["FeatureOrchestrator"]
