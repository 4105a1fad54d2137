"""People: making them, giving them a place in the tree."""

import secrets
from datetime import timedelta

from axes.utils import reset as unlock
from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.exceptions import EmailTaken
from accounts.models import Account, Membership, User
from accounts.selectors import get_membership_for
from accounts.services import audit
from accounts.services.accounts import get_platform
from accounts.services.mail import queue_mail


@transaction.atomic
def create_member(
    *,
    account: Account,
    email: str,
    name: str,
    password: str,
    actor: User | None,
    username: str = "",
    role: str = Membership.Role.OWNER,
) -> User:
    """Make a user with a place in ``account``; the login name defaults to the e-mail (seed 1). Raises EmailTaken."""
    email = email.strip()
    if login_taken(email) or (username and login_taken(username)):
        raise EmailTaken(f"{email} is already used by someone on this portal; enter another e-mail.")
    user = User(email=email, username=username or email, name=name)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:  # two forms at once: the unique index decides
        raise EmailTaken(f"{email} is already used by someone on this portal; enter another e-mail.") from error
    Membership.objects.create(user=user, account=account, role=role)
    audit.record(account=account, actor=actor, action="user.created", subject=account.code, user=user.pk, role=role)
    return user


def login_taken(login: str, *, but: User | None = None) -> bool:
    """Whether an e-mail or login name is someone's e-mail or login name already, whatever its case."""
    found = User.objects.filter(email__iexact=login) | User.objects.filter(username__iexact=login)
    if but is not None:
        found = found.exclude(pk=but.pk)
    return found.exists()


@transaction.atomic
def change_login(*, user: User, account: Account, email: str, name: str, actor: User | None) -> User:
    """Change a user's name and e-mail; a login name that was the e-mail follows it. Raises EmailTaken."""
    email = email.strip()
    if login_taken(email, but=user):
        raise EmailTaken(f"{email} is already used by someone on this portal; enter another e-mail.")
    old_email = user.email
    if user.username == user.email:
        user.username = email
    user.email, user.name = email, name
    user.save(update_fields=["email", "username", "name"])
    if old_email != email:  # whoever reads the old address must hear of it, in case it was not the owner
        queue_mail(
            key=f"email-changed:{secrets.token_urlsafe(12)}",
            to=old_email,
            template="accounts/mail/email_changed",
            context={"user": user, "old_email": old_email},
        )
    audit.record(account=account, actor=actor, action="user.updated", subject=account.code, user=user.pk)
    return user


@transaction.atomic
def set_password(*, user: User, account: Account, password: str, actor: User | None) -> None:
    """Set a new password (already validated); sessions of the user end by Django's session hash."""
    user.set_password(password)
    user.save(update_fields=["password"])
    audit.record(account=account, actor=actor, action="user.password_set", subject=account.code, user=user.pk)


@transaction.atomic
def reset_password(*, user: User, password: str) -> None:
    """Set the password of someone who proved by mail that they are ``user``; ends a lock-out by wrong passwords."""
    membership = get_membership_for(user)
    account = membership.account if membership else get_platform()
    set_password(user=user, account=account, password=password, actor=user)
    unlock(username=user.username.lower())


@transaction.atomic
def request_password_reset(*, user: User, email: str, url: str) -> None:
    """Queue the mail with the link. By the outbox, as waiting for the mail server would tell who is known here."""
    queue_mail(
        key=f"password-reset:{secrets.token_urlsafe(12)}",
        to=email,
        template="accounts/mail/password_reset",
        context={"user": user, "url": url, "lifetime": timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)},
    )
