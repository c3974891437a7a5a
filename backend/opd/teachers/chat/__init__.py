"""Teachers behind chat APIs: answers from messages, each paid once, none above the cap.

In: `Ask`s. Out: `Answer`s in their order. The way there: `asks` (what is asked, and under which key) → `gateway`
(money before the wire, whatever happens) → `wire` (one attempt through the provider's SDK) → `readings` (what a reply
is worth). Loads no machine-learning package, and an SDK only when somebody is asked.
"""

from opd.teachers.chat.asks import Ask
from opd.teachers.chat.endpoints import Endpoint, endpoint_of, price_of
from opd.teachers.chat.purse import Purse
from opd.teachers.chat.teacher import ChatApi, UnusableTeacherError

__all__ = ["Ask", "ChatApi", "Endpoint", "Purse", "UnusableTeacherError", "endpoint_of", "price_of"]
