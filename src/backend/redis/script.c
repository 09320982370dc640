#include "script.h"

#include "publish.h"

const ckiti_redis_script ckiti_redis_script_lock = {
    "71fe8f133a58f08f837e0834f3bc2728b49117a9",
    "if not redis.call('SET',KEYS[1],ARGV[1],'NX','PX',ARGV[2]) and redis.call('GET',KEYS[1])~=ARGV[1] then "
    "return 0 end "
    "local f=redis.call('INCR',KEYS[2]) "
    "if f==1 then local t=redis.call('TIME') f=t[1]*1000000+t[2] "
    "redis.call('SET',KEYS[2],string.format('%.0f',f)) end "
    "return f"};

const ckiti_redis_script ckiti_redis_script_renew = {
    "68acc660facaa8309b44ff34c73caa7e7a12688a",
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0"};

const ckiti_redis_script ckiti_redis_script_release = {
    "5c714dd8ed5b943a1f472132e06290c53ab22693",
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0"};

const ckiti_redis_script ckiti_redis_script_set = {"2c9f30d42c786ecbae05891014e752a0fcd603e9",
                                                   "if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end "
                                                   "if ARGV[3]=='' then redis.call('SET',KEYS[2],ARGV[2]) "
                                                   "else redis.call('SET',KEYS[2],ARGV[2],'PX',ARGV[3]) end "
                                                   "return 1"};

/* Members are keys, scored with the end of their lives; the index lives as long as its last member. A few that have
 * ended are taken out on the way. */
#define INDEX_FUNCTION                                                                                                 \
    "local function index(k,member,ttl) "                                                                              \
    "local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000) "                                            \
    "local gone=redis.call('ZRANGEBYSCORE',k,'-inf',string.format('%.0f',now-1000),'LIMIT',0,32) "                     \
    "if #gone>0 then redis.call('ZREM',k,unpack(gone)) end "                                                           \
    "if ttl=='' then redis.call('ZADD',k,'+inf',member) "                                                              \
    "else redis.call('ZADD',k,string.format('%.0f',now+ttl),member) end "                                              \
    "local last=redis.call('ZREVRANGE',k,0,0,'WITHSCORES')[2] "                                                        \
    "if last=='inf' then redis.call('PERSIST',k) "                                                                     \
    "else redis.call('PEXPIREAT',k,string.format('%.0f',last+1000)) end end "

const ckiti_redis_script ckiti_redis_script_index = {"e93bfce1c10cb04c9aa961eb486455f307734b0b",
                                                     INDEX_FUNCTION "index(KEYS[1],ARGV[1],ARGV[2]) return 1"};

const ckiti_redis_script ckiti_redis_script_touch = {
    "3592c53e5104667192500d7f33982f6a66259c63", INDEX_FUNCTION
    "local found "
    "if ARGV[3]=='' then found=redis.call('EXISTS',KEYS[1]) redis.call('PERSIST',KEYS[1]) "
    "else found=redis.call('PEXPIRE',KEYS[1],ARGV[3]) end "
    "local o=found==1 and redis.call('GET',KEYS[2]) "
    "if o then index(ARGV[1]..string.sub(o,1,32),ARGV[2],ARGV[3]) "
    "if ARGV[3]=='' then redis.call('PERSIST',KEYS[2]) else redis.call('PEXPIRE',KEYS[2],ARGV[3]) end end "
    "return found"};

const ckiti_redis_script ckiti_redis_script_remove = {
    "300b6a1f9e1cf5672aad9c0cd9059921066dac45",
    "local o=redis.call('GET',KEYS[2]) "
    "if o then redis.call('ZREM',ARGV[1]..string.sub(o,1,32),ARGV[2]) redis.call('DEL',KEYS[2]) end "
    "return redis.call('UNLINK',KEYS[1])"};

const ckiti_redis_script ckiti_redis_script_replace = {
    "074d0d76577a5f5a535e47bac59002325296e9ba", "local life=redis.call('PTTL',KEYS[1]) "
                                                "if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end "
                                                "if life<0 then redis.call('SET',KEYS[1],ARGV[2]) "
                                                "else redis.call('SET',KEYS[1],ARGV[2],'PX',math.max(life,1)) end "
                                                "return 1"};

const ckiti_redis_script *const ckiti_redis_scripts[CKITI_REDIS_SCRIPTS] = {
    &ckiti_redis_script_lock,  &ckiti_redis_script_renew, &ckiti_redis_script_release, &ckiti_redis_script_set,
    &ckiti_redis_script_index, &ckiti_redis_script_touch, &ckiti_redis_script_remove,  &ckiti_redis_script_replace};

void ckiti_redis_put_script(ckiti_resp_writer *w, const ckiti_redis_script *script, bool by_text, size_t keys,
                            size_t count) {
    ckiti_resp_command(w, 3 + count);
    ckiti_resp_text(w, by_text ? "EVAL" : "EVALSHA");
    ckiti_resp_text(w, by_text ? script->text : script->hash);
    ckiti_resp_number(w, keys);
}

bool ckiti_redis_script_missing(const ckiti_resp_item *item) {
    static const char mark[] = "NOSCRIPT";
    return item->type == CKITI_RESP_ERROR && item->text.len >= sizeof mark - 1 &&
           memcmp(item->text.ptr, mark, sizeof mark - 1) == 0;
}

/* ---- scripts that answer with a number --------------------------------------------------------------------------- */

static void write_eval(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_eval *eval = (const ckiti_redis_eval *)call;
    ckiti_redis_put_script(w, eval->script, eval->by_text, eval->key_count, eval->key_count + eval->arg_count);
    for (size_t i = 0; i < eval->key_count; i++) {
        ckiti_redis_put_name(w, &eval->keys[i]);
    }
    for (size_t i = 0; i < eval->arg_count; i++) {
        ckiti_resp_bytes(w, eval->args[i]);
    }
}

static void take_eval(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_eval *eval = (ckiti_redis_eval *)call;
    if (ckiti_redis_script_missing(item) && !eval->by_text) {
        eval->missing = true;
    } else if (item->type == CKITI_RESP_INTEGER) {
        eval->answer = item->integer;
    } else if (!ckiti_redis_call_refused(call, item)) {
        ckiti_redis_call_unexpected(call);
    }
}

static void begin_eval(ckiti_redis_call *call) { ((ckiti_redis_eval *)call)->missing = false; }

void ckiti_redis_eval_init(ckiti_redis_eval *eval, bool by_text, ckit_error *err) {
    eval->by_text = by_text;
    eval->call = (ckiti_redis_call){
        .write = write_eval, .take = take_eval, .begin = begin_eval, .replies = 1, .large = eval->large, .err = err};
}

ckit_status ckiti_redis_eval_run(ckiti_redis_store *store, ckit_slice key, ckiti_redis_eval *eval, uint64_t deadline_ms,
                                 ckit_error *err) {
    ckiti_redis_eval_init(eval, false, err);
    ckiti_redis_call_tells(&eval->call, store->publishing, &key, eval->changes);
    ckit_status st = ckiti_redis_perform(store, key, &eval->call, deadline_ms);
    if (st == CKIT_OK && eval->missing) {
        ckiti_redis_eval_init(eval, true, err);
        ckiti_redis_call_tells(&eval->call, store->publishing, &key, eval->changes);
        st = ckiti_redis_perform(store, key, &eval->call, deadline_ms);
    }
    return st;
}
