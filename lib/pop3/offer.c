#include "offer.h"

struct pop3_capabilities pop3_offer(uint32_t expire_days, uint32_t login_delay_s)
{
	return (struct pop3_capabilities){
		.top = true, .uidl = true, .pipelining = true, .resp_codes = true, .auth_resp_code = true, .user = true,
		.utf8 = true, .utf8_user = true, .lang = true, .expire = true, .expire_days = expire_days,
		.login_delay = login_delay_s > 0, .login_delay_s = login_delay_s, .implementation = STR("Posthorn"),
	};
}
