"""Parses a page on stdin with the Python client library, and prints its samples as JSON.

Usage: formats.py openmetrics | text
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text

families = {"openmetrics": open_metrics, "text": text}[sys.argv[1]]
page = sys.stdin.buffer.read().decode()
json.dump(
    [
        {
            "family": family.name,
            "type": family.type,
            "unit": family.unit,
            "help": family.documentation,
            "name": sample.name,
            "labels": sample.labels,
            "value": repr(sample.value),
            "exemplar": sample.exemplar and [
                sample.exemplar.labels,
                sample.exemplar.value,
                str(sample.exemplar.timestamp),
            ],
        }
        for family in families(page)
        for sample in family.samples
    ],
    sys.stdout,
)
