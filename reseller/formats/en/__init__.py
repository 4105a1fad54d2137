"""English, as everywhere in the portal: 22 Nov 2026, 17:30."""
