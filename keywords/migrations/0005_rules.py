"""What was paid for stays told: a keyword is ended, never deleted, and its account, number and word never change."""

from django.db import migrations

RULES = """
CREATE FUNCTION keywords_keyword_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a keyword is ended, never deleted'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'keyword_stays';
    END IF;
    IF (NEW.code, NEW.account_id, NEW.number_id, NEW.word, NEW.subscription_id)
            IS DISTINCT FROM (OLD.code, OLD.account_id, OLD.number_id, OLD.word, OLD.subscription_id)
            OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at) THEN
        RAISE EXCEPTION 'a keyword never becomes another one and never comes back'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'keyword_stays';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER keyword_stays BEFORE UPDATE OR DELETE ON keywords_keyword
    FOR EACH ROW EXECUTE FUNCTION keywords_keyword_stays();

CREATE FUNCTION keywords_name_fits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM keywords_keyword k
        WHERE k.id = NEW.keyword_id AND k.number_id = NEW.number_id AND k.ended_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a word leads to a keyword in force on its own number'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'keyword_name_fits';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER keyword_name_fits BEFORE INSERT OR UPDATE ON keywords_keywordname
    FOR EACH ROW EXECUTE FUNCTION keywords_name_fits();
"""

UNDO = """
DROP TRIGGER keyword_name_fits ON keywords_keywordname;
DROP FUNCTION keywords_name_fits();
DROP TRIGGER keyword_stays ON keywords_keyword;
DROP FUNCTION keywords_keyword_stays();
"""


class Migration(migrations.Migration):
    dependencies = [("keywords", "0004_reserved_words")]

    operations = [migrations.RunSQL(RULES, UNDO)]
