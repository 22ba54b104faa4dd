import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

/** Asks an edge with Java's own client as it is by default: each request offers to go on in h2c. */
public class Ask {
    public static void main(String[] arguments) throws Exception {
        var base = arguments[0];
        var client = HttpClient.newHttpClient();
        for (var index = 0; index < 3; index++) {
            var request = post(base + "/v1/echo", "{\"stringField\":\"" + index + "\"}");
            var response = client.send(request, BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.body());
        }
        var responses = new ArrayList<CompletableFuture<String>>();
        for (var index = 0; index < 20; index++) {
            var request = post(base + "/v1/raw", "raw " + index);
            responses.add(client.sendAsync(request, BodyHandlers.ofString()).thenApply(r -> r.body()));
        }
        for (var response : responses) {
            System.out.println(response.get(20, TimeUnit.SECONDS));
        }
        var chunked = BodyPublishers.fromPublisher(
            BodyPublishers.ofString("{\"stringField\":\"a\"}\n{\"stringField\":\"b\"}\n"));
        var upload = HttpRequest.newBuilder(URI.create(base + "/v1/upload"))
            .header("Content-Type", "application/x-ndjson").POST(chunked).build();
        System.out.println(client.send(upload, BodyHandlers.ofString()).body());
        var message = new CompletableFuture<String>();
        var socket = client.newWebSocketBuilder().subprotocols("grpc-json.v1").buildAsync(
            URI.create(base.replace("http", "ws") + "/v1/bidi"),
            new WebSocket.Listener() {
                @Override
                public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
                    message.complete(data.toString());
                    return null;
                }
            }).get(20, TimeUnit.SECONDS);
        socket.sendText("{\"stringField\":\"socket\"}", true);
        System.out.println(message.get(20, TimeUnit.SECONDS));
        socket.abort();
    }

    private static HttpRequest post(String url, String body) {
        return HttpRequest.newBuilder(URI.create(url)).POST(BodyPublishers.ofString(body)).build();
    }
}
