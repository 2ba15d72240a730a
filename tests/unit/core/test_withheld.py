"""Columns that are better not sent are known by their names, rather too many than one too few."""

from __future__ import annotations

import pytest

from sync_profiles.core import withheld
from sync_profiles.core.types import Column, Kind


def text(name: str) -> Column:
    return Column(name, Kind.TEXT, "text")


@pytest.mark.parametrize(
    "name",
    [
        *("password", "encrypted_password", "hashedPassword", "PasswordHash", "user_pass", "passwd", "pwd", "Kennwort"),
        *("passwort", "salt", "password_salt", "PasswordSalt", "remember_token", "api_token", "apiToken", "APIToken"),
        *("api_key", "API Key", "apikey", "ApiKey", "private_key", "secret", "clientSecret", "otp_secret", "totp"),
        *("two_factor_recovery_codes", "twoFactorSecret", "recovery_codes", "backup-codes", "mfa_seed", "digest"),
        *("user_activation_key", "verification_code", "reset_code", "security_answer", "SecurityStamp", "session_id"),
        *("credit_card", "card_number", "cvv", "iban", "ssn", "pin", "jwt", "access_token", "refreshtoken", "auth_key"),
        *("stripe_secret_id", "webauthn_credential", "passkeys", "confirmationToken", "token"),
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert withheld.is_secret(text(name))


@pytest.mark.parametrize(
    "name",
    [
        *("email", "name", "plan", "passenger", "compass", "tokyo_office", "keyboard", "hashtag", "saltillo", "spin"),
        *("opinion", "account_number", "card_type", "authority", "monkey", "key_account", "country_code", "pinterest"),
    ],
)
def test_a_word_that_merely_contains_a_secret_is_none(name: str) -> None:
    assert not withheld.is_secret(text(name))


@pytest.mark.parametrize(
    ("kind", "name", "secret"),
    [
        (Kind.INTEGER, "token_count", False),
        (Kind.INTEGER, "pin", True),
        (Kind.INTEGER, "ssn", True),
        (Kind.BOOLEAN, "season_pass", False),
        (Kind.BOOLEAN, "weekly_digest", True),  # the mapping refuses it without secret = true
        (Kind.DATETIME, "password_changed_at", False),
        (Kind.INSTANT, "remember_token", True),
        (Kind.BYTES, "signature", False),
    ],
)
def test_what_a_column_holds_has_a_say(kind: Kind, name: str, *, secret: bool) -> None:
    assert withheld.is_secret(Column(name, kind, "")) is secret


@pytest.mark.parametrize(
    "name",
    [
        *("last_login", "lastLogin", "LastLoginAt", "last_sign_in_at", "current_sign_in_ip", "sign_in_count"),
        *("login_count", "remember_created_at", "failed_attempts", "locked_at", "lockout_end", "last_seen_at"),
        *("last_activity", "AccessFailedCount", "reset_password_sent_at", "confirmation_sent_at", "unconfirmed_email"),
        *("password_changed_at", "online", "is_online", "last_request_at", "consumed_timestep"),
    ],
)
def test_what_signing_in_writes_is_known(name: str) -> None:
    assert withheld.is_sign_in(text(name))


@pytest.mark.parametrize(
    "name", ["confirmed_at", "login", "last_name", "last_order_at", "sign", "first_seenery", "logo"]
)
def test_what_signing_in_does_not_write_is_kept(name: str) -> None:
    assert not withheld.is_sign_in(text(name))


@pytest.mark.parametrize(
    ("column", "device"),
    [
        (text("ip"), True),
        (text("ip_address"), True),
        (text("registrationIp"), True),
        (text("user_agent"), True),
        (Column("address", Kind.TEXT, "inet"), True),
        (text("address"), False),
        (text("zip"), False),
        (text("ship_to"), False),
    ],
)
def test_a_devices_address_is_known(column: Column, *, device: bool) -> None:
    assert withheld.is_device(column) is device
