"""What `manage.py load_demo` loads: people, prices, a simulated carrier and five weeks of sending. Never elsewhere."""
