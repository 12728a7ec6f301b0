/* Asks the daemon once, in C: libzmq and cJSON alone.
 *
 *   cc infer.c -o infer $(pkg-config --cflags --libs libzmq libcjson)
 *   ./infer ipc:///run/adaspring/infer.sock < window.f32
 *
 * Reads one sample of little-endian float32 from standard input and prints its label, the values, and the subnet
 * that answered. Asks META for the shape first. Exits with 1 and a sentence if anything is wrong.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { TIMEOUT_MS = 5000, MAX_REPLY_FRAMES = 4 };

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void send_frame(void *socket, const void *data, size_t size, int more) {
    if (zmq_send(socket, data, size, more ? ZMQ_SNDMORE : 0) < 0) fail("send", zmq_strerror(zmq_errno()));
}

/* Receives a reply and returns its header; the tensor, if there is one, is copied to *tensor. */
static cJSON *receive(void *socket, float **tensor, size_t *values) {
    cJSON *header = NULL;
    int more = 1, failed = 0;
    for (int index = 0; more; index++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, 0) < 0) fail("receive", zmq_strerror(zmq_errno()));
        const char *data = zmq_msg_data(&frame);
        size_t size = zmq_msg_size(&frame);
        if (index == 0 && (size != 5 || memcmp(data, "OIPZ1", 5) != 0)) fail("reply", "not of OIP/Z 1");
        if (index == 1) failed = size != 2 || memcmp(data, "OK", 2) != 0;
        if (index == 2) header = cJSON_ParseWithLength(data, size);
        if (index == 3 && tensor != NULL) {
            *values = size / sizeof(float);
            *tensor = malloc(size);
            if (*tensor == NULL) fail("reply", "out of memory");
            memcpy(*tensor, data, size);
        }
        if (index >= MAX_REPLY_FRAMES) fail("reply", "too many frames");
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    if (header == NULL) fail("reply", "its header is no JSON");
    if (failed) {
        const cJSON *error = cJSON_GetObjectItemCaseSensitive(header, "error");
        fail("refused", cJSON_IsString(error) ? error->valuestring : "without a reason");
    }
    return header;
}

static const cJSON *first(const cJSON *object, const char *list) {
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(object, list), 0);
}

static const char *text(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsString(item)) fail("reply lacks", name);
    return item->valuestring;
}

int main(int argc, char **argv) {
    if (argc != 2) fail("usage", "infer ENDPOINT < SAMPLE");
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int timeout = TIMEOUT_MS, linger = 0;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_connect(socket, argv[1]) != 0) fail(argv[1], zmq_strerror(zmq_errno()));

    const char *query = "{\"id\":\"1\"}";
    send_frame(socket, "OIPZ1", 5, 1);
    send_frame(socket, "META", 4, 1);
    send_frame(socket, query, strlen(query), 0);
    cJSON *meta = receive(socket, NULL, NULL);
    const cJSON *input = first(meta, "inputs");

    cJSON *shape = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(input, "shape"), 1);
    cJSON_ReplaceItemInArray(shape, 0, cJSON_CreateNumber(1));
    size_t count = 1;
    const cJSON *extent;
    cJSON_ArrayForEach(extent, shape) count *= (size_t)extent->valuedouble;
    float *sample = malloc(count * sizeof *sample);
    if (sample == NULL) fail("sample", "out of memory");
    if (fread(sample, sizeof *sample, count, stdin) != count) fail("sample", "standard input is too short");

    cJSON *request = cJSON_CreateObject();
    cJSON_AddStringToObject(request, "id", "2");
    cJSON_AddStringToObject(request, "model_name", text(meta, "name"));
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(request, "parameters"), "timeout", TIMEOUT_MS * 1000.0);
    cJSON *tensor = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(request, "inputs"), tensor);
    cJSON_AddStringToObject(tensor, "name", text(input, "name"));
    cJSON_AddStringToObject(tensor, "datatype", "FP32");
    cJSON_AddItemToObject(tensor, "shape", shape);
    cJSON *size = cJSON_AddObjectToObject(tensor, "parameters");
    cJSON_AddNumberToObject(size, "binary_data_size", (double)(count * sizeof *sample));
    char *header = cJSON_PrintUnformatted(request);

    send_frame(socket, "OIPZ1", 5, 1);
    send_frame(socket, "INFER", 5, 1);
    send_frame(socket, header, strlen(header), 1);
    send_frame(socket, sample, count * sizeof *sample, 0);
    float *outputs = NULL;
    size_t values = 0, best = 0;
    cJSON *reply = receive(socket, &outputs, &values);
    for (size_t index = 1; index < values; index++) {
        if (outputs[index] > outputs[best]) best = index;
    }
    const cJSON *parameters = cJSON_GetObjectItemCaseSensitive(first(meta, "outputs"), "parameters");
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(parameters, "labels");
    const cJSON *label = cJSON_GetArrayItem(labels, (int)best);
    printf("label %s\n", cJSON_IsString(label) ? label->valuestring : "none");
    for (size_t index = 0; index < values; index++) printf("value %.6g\n", (double)outputs[index]);
    printf("subnet %s\n", text(cJSON_GetObjectItemCaseSensitive(reply, "parameters"), "subnet"));

    free(outputs);
    free(sample);
    cJSON_free(header);
    cJSON_Delete(request);
    cJSON_Delete(reply);
    cJSON_Delete(meta);
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
