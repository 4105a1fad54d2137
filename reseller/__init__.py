"""The project's package, with which every process of the portal begins."""

from accounts.garbage import look_seldom

look_seldom()
