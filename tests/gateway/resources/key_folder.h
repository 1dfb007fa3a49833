/* key_folder: a folder of signing keys in a place of its own, for tests. */
#pragma once

#include <check.h>
#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_PATH 384

struct key_folder {
    char path[64];
};

static inline void key_folder_make(struct key_folder *f)
{
    snprintf(f->path, sizeof f->path, "%s/aether-keys-XXXXXX", P_tmpdir);
    ck_assert_ptr_nonnull(mkdtemp(f->path));
}

static inline const char *key_folder_file(const struct key_folder *f, const char *name, char ret[KEY_PATH])
{
    snprintf(ret, KEY_PATH, "%s/%s", f->path, name);
    return ret;
}

static inline void key_folder_text(const struct key_folder *f, const char *name, const char *text)
{
    char path[KEY_PATH];
    FILE *file = fopen(key_folder_file(f, name, path), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* A new key of a curve; `public_only` leaves its private half out. */
static inline void key_folder_add(const struct key_folder *f, const char *name, const char *curve, bool public_only)
{
    char path[KEY_PATH];
    EVP_PKEY *key = EVP_EC_gen(curve);
    FILE *file = fopen(key_folder_file(f, name, path), "w");
    ck_assert(key && file);
    ck_assert_int_eq(
        public_only ? PEM_write_PUBKEY(file, key) : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    EVP_PKEY_free(key);
}

static inline void key_folder_take_out(const struct key_folder *f, const char *name)
{
    char path[KEY_PATH];
    ck_assert_int_eq(unlink(key_folder_file(f, name, path)), 0);
}

static inline void key_folder_remove(const struct key_folder *f)
{
    DIR *folder = opendir(f->path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            key_folder_take_out(f, entry->d_name);
    if (folder)
        closedir(folder);
    rmdir(f->path);
}
