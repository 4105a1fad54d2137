"""People: making them, giving them a place in the tree."""

from django.db import IntegrityError, transaction

from accounts.exceptions import EmailTaken
from accounts.models import Account, Membership, User
from accounts.services import audit


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
    if user.username == user.email:
        user.username = email
    user.email, user.name = email, name
    user.save(update_fields=["email", "username", "name"])
    audit.record(account=account, actor=actor, action="user.updated", subject=account.code, user=user.pk)
    return user


@transaction.atomic
def set_password(*, user: User, account: Account, password: str, actor: User | None) -> None:
    """Set a new password (already validated); sessions of the user end by Django's session hash."""
    user.set_password(password)
    user.save(update_fields=["password"])
    audit.record(account=account, actor=actor, action="user.password_set", subject=account.code, user=user.pk)
