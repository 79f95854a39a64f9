"""Phrases by language: what Whisper invents where nobody speaks, and what people say several times in a row."""

# Nobody says these to an agent. One phrase a line.
NEVER_SAID = """
Thank you for watching
Thanks for watching
Thank you so much for watching
Thank you very much for watching
Thank you all for watching
Thanks for watching and I'll see you next time
Thanks for watching and see you in the next video
Thank you for watching and see you in the next video
Thanks for watching this video
Thank you for watching this video
Thank you for watching till the end
Thanks for listening and see you next time
Please subscribe
Please subscribe to my channel
Please subscribe to our channel
Subscribe to my channel
Like and subscribe
Please like and subscribe
Please like, share and subscribe
Don't forget to subscribe
Don't forget to like and subscribe
If you enjoyed this video please like and subscribe
If you liked this video please subscribe
See you in the next video
I'll see you in the next video
I'll see you guys in the next video
I'll see you in the next one
Subtitles by the Amara.org community
Transcription by CastingWords
Transcribed by https://otter.ai
Satsang with Mooji
For more information visit www.FEMA.gov
© BF-WATCH TV 2021
Copyright WDR 2020
Copyright Australian Broadcasting Corporation
The following is a work of fiction. Any resemblance to persons, living or dead, is coincidental and unintentional
Vielen Dank fürs Zuschauen
Vielen Dank für's Zuschauen
Danke fürs Zuschauen
Danke für's Zuschauen
Danke fürs Zusehen
Vielen Dank fürs Zusehen
Vielen Dank für die Aufmerksamkeit und bis zum nächsten Video
Bis zum nächsten Video
Wir sehen uns im nächsten Video
Vergesst nicht zu abonnieren
Abonniert meinen Kanal
Abonniert den Kanal
Swiss German Subtitles
Das war's für heute. Bis zum nächsten Mal
Merci d'avoir regardé cette vidéo
Merci d'avoir regardé la vidéo
Merci d'avoir regardé
Merci d'avoir regardé cette vidéo et à bientôt
Merci à tous d'avoir regardé
N'oubliez pas de vous abonner
N'oubliez pas de vous abonner à la chaîne
Abonnez-vous
Abonnez-vous à la chaîne
Abonnez-vous à ma chaîne
Gracias por ver el video
Gracias por ver este video
Gracias por ver
Muchas gracias por ver el video
Suscríbete al canal
Suscríbete a mi canal
¡Suscríbete!
No olvides suscribirte
No olviden suscribirse al canal
Nos vemos en el próximo video
Grazie per aver guardato il video
Grazie per aver guardato questo video
Grazie per la visione
Grazie per la visione del video
Grazie a tutti per la visione
Iscriviti al canale
Iscrivetevi al canale
Iscriviti al nostro canale
Non dimenticate di iscrivervi al canale
Ci vediamo nel prossimo video
Alla prossima, grazie per la visione
Obrigado por assistir
Obrigada por assistir
Obrigado por assistirem
Muito obrigado por assistir
Obrigado por ver o vídeo
Inscreva-se no canal
Se inscreva no canal
Se inscreva no canal e ative o sininho
Não se esqueça de se inscrever no canal
Até o próximo vídeo
E aí galera, tudo bem? Até o próximo vídeo
Legenda Adriana Zanotto
Bedankt voor het kijken
Dank u wel voor het kijken
Dankjewel voor het kijken
Bedankt voor het kijken naar deze video
Vergeet niet te abonneren
Abonneer op mijn kanaal
Tot de volgende video
TV GELDERLAND 2021
TV GELDERLAND 2022
TV GELDERLAND 2023
Dziękuję za obejrzenie
Dziękuję za oglądanie
Dziękujemy za oglądanie
Dzięki za oglądanie
Dziękuję za uwagę i do zobaczenia w następnym odcinku
Do zobaczenia w kolejnym odcinku
Do zobaczenia w następnym filmie
Zapraszam do subskrypcji
Subskrybuj kanał
Zasubskrybuj
Nie zapomnijcie zasubskrybować
Спасибо за просмотр
Спасибо за просмотр этого видео
Спасибо за просмотр и до новых встреч
Благодарю за просмотр
Всем спасибо за просмотр
Продолжение следует
Подписывайтесь на канал
Подписывайтесь на мой канал
Подписывайтесь на наш канал
Не забудьте подписаться на канал
Не забывайте подписываться на канал
Ставьте лайки и подписывайтесь на канал
До встречи в следующем видео
ПОДПИШИСЬ
ПОДПИШИСЬ НА КАНАЛ
СПОКОЙНАЯ МУЗЫКА
ТРЕВОЖНАЯ МУЗЫКА
ДИНАМИЧНАЯ МУЗЫКА
ВЕСЕЛАЯ МУЗЫКА
ТОРЖЕСТВЕННАЯ МУЗЫКА
ГРУСТНАЯ МЕЛОДИЯ
ЛИРИЧЕСКАЯ МУЗЫКА
ИНТРИГУЮЩАЯ МУЗЫКА
АПЛОДИСМЕНТЫ
ПО СВИСТКУ
Игорь Негода
Дякую за перегляд
Дякуємо за перегляд
Дякую за перегляд і до нових зустрічей
Підписуйтесь на канал
Підписуйтеся на канал
Не забудьте підписатися на канал
Далі буде
До зустрічі в наступному відео
İzlediğiniz için teşekkürler
İzlediğiniz için teşekkür ederim
İzlediğiniz için teşekkür ederiz
Abone olmayı unutmayın
Kanalıma abone olmayı unutmayın
Yorumlarınızı ve beğenilerinizi bekliyorum, abone olmayı unutmayın
Beğenmeyi ve abone olmayı unutmayın
Bir sonraki videoda görüşmek üzere
Bir sonraki videoda görüşürüz
Altyazı M.K.
ご視聴ありがとうございました
ご視聴ありがとうございます
ご視聴頂きありがとうございました
ご視聴いただきありがとうございました
ご視聴いただきありがとうございます
ご清聴ありがとうございました
最後までご視聴ありがとうございました
最後まで視聴してくださって本当にありがとうございます
最後までご視聴頂きありがとうございました
チャンネル登録お願いします
チャンネル登録をお願いします
チャンネル登録よろしくお願いします
チャンネル登録をよろしくお願いします
チャンネル登録高評価よろしくお願いします
チャンネル登録と高評価をお願いします
高評価とチャンネル登録よろしくお願いします
高評価チャンネル登録よろしくお願いします
次の動画でお会いしましょう
次回の動画でお会いしましょう
また次の動画でお会いしましょう
それではまた次の動画でお会いしましょう
この動画の字幕は視聴者によって作成されました
シーユーネクストビデオ
시청해주셔서 감사합니다
시청해 주셔서 고맙습니다
끝까지 시청해주셔서 감사합니다
지금까지 시청해주셔서 감사합니다
오늘도 시청해주셔서 감사합니다
영상 시청해주셔서 감사합니다
구독과 좋아요 부탁드립니다
구독과 좋아요 부탁드려요
구독 좋아요 알림설정
좋아요와 구독 부탁드립니다
다음 영상에서 만나요
다음 영상에서 뵙겠습니다
한글자막 by 한효정
한글자막 by 박진희
자막 제공
자막 제공 및 자막 제공 및 광고를 포함하고 있습니다
MBC 뉴스 이덕영입니다
MBC 뉴스 김성현입니다
谢谢观看
谢谢大家观看
谢谢大家的观看
谢谢您的观看
感谢观看
感谢大家观看
感谢您的观看
感谢收看
谢谢收看
谢谢大家收看
谢谢大家收听
感谢收听
謝謝觀看
謝謝大家觀看
感謝觀看
感謝收看
謝謝收看
謝謝大家收看
感謝您的收看
感謝您的觀看
多謝您收看時局新聞,再會
請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目
请不吝点赞 订阅 转发 打赏支持明镜与点点栏目
请不吝点赞 订阅
請不吝點贊 訂閱
明鏡與點點欄目
明镜与点点栏目
请订阅我的频道
請訂閱我的頻道
欢迎订阅我的频道
歡迎訂閱我的頻道
优优独播剧场 YoYo Television Series Exclusive
優優獨播劇場 YoYo Television Series Exclusive
MING PAO CANADA MING PAO TORONTO
中文字幕志愿者 李宗盛
字幕志愿者 杨茜茜
字幕志愿者 李宗盛
字幕志愿者 杨栋梁
ترجمة نانسي قنقر
شكرا للمشاهدة
شكرا على المشاهدة
شكرا لكم على المشاهدة
شكرا لمشاهدتكم
شكرا لكم للمشاهدة
اشتركوا في القناة
اشترك في القناة
اشتركوا في قناتي
لا تنسوا الاشتراك في القناة
لا تنسى الاشتراك في القناة
اشترك في القناة ليصلك كل جديد
إلى اللقاء في الفيديو القادم
देखने के लिए धन्यवाद
वीडियो देखने के लिए धन्यवाद
हमारे चैनल को सब्सक्राइब करें
चैनल को सब्सक्राइब करें
चैनल को सब्सक्राइब करना न भूलें
मेरे चैनल को सब्सक्राइब करें
कृपया सब्सक्राइब करें
Tack för att ni tittade
Tack för att du tittade
Tack för att ni har tittat
Tack till alla som har tittat
Tack för att ni har tittat på denna video
Glöm inte att prenumerera
Prenumerera på min kanal
Svensktextning.nu
Undertextning Svensk Medietext
Tak fordi du så med
Tak fordi I så med
Tak for at du så med
Tak for at I så med
Tak for at have set med
Husk at abonnere
Scandinavian Text Service 2018
Scandinavian Text Service 2019
Takk for at du så på
Takk for at dere så på
Takk for at du så med
Takk for at dere så med
Takk for at du ser på
Husk å abonnere
Kiitos kun katsoit
Kiitos kun katsoit videon
Kiitos kun katsoitte
Kiitos katsomisesta
Kiitos, että katsoitte
Muista tilata kanava
Tilaa kanava
Děkuji za pozornost a sledování
Děkujeme za sledování
Děkuji za sledování
Díky za sledování
Nezapomeňte odebírat
Nezapomeňte dát odběr
Uvidíme se u dalšího videa
Σας ευχαριστώ που παρακολουθήσατε
Mulțumesc pentru vizionare
Nu uitați să vă abonați
Köszönöm, hogy megnézted
Köszönöm a figyelmet, iratkozz fel
Cảm ơn các bạn đã theo dõi
Cảm ơn các bạn đã xem video
Hãy subscribe cho kênh
Hãy subscribe cho kênh La La School Để không bỏ lỡ những video hấp dẫn
Hãy đăng ký kênh để ủng hộ kênh
Terima kasih telah menonton
Terima kasih kerana menonton
Jangan lupa subscribe
תודה שצפיתם
"""

# People say these, too: they need evidence.
PLAUSIBLE = {
    "en": (
        "you|thank you|thanks|thank you so much|thank you very much|thank you for your time|bye|bye bye"
        "|goodbye|okay|ok|so|oh|ah|uh|um|hmm|mm|mmm|mm hmm|yeah|yes|no|hello|hi|hey|i|the|a|and|but|right|well"
        "|all right|good night|i'm sorry|sorry|i don't know|i'm going to go|i'm|let's go|what|huh|peace|amen"
        "|see you|see you next time|see you later|see you soon|we'll be right back|the end|music|silence"
        "|applause|beep|click|shh|boom|ding|whoosh|thank you for listening|thanks for listening"
        "|thank you for your attention|god bless you|i love you|one|two|whoa|wow|um um|oh my god|okay okay"
        "|that's it|there you go|here we go|come on|go|wait|ow|ha|hm"
    ),
    "de": (
        "vielen dank|danke|danke schön|dankeschön|tschüss|tschüß|ja|nein|so|okay|und|ich|bis zum nächsten mal"
        "|bis bald|auf wiedersehen|hallo|gut|genau|also|mhm|hm|äh|ah|oh|vielen dank für ihre aufmerksamkeit"
        "|vielen dank fürs zuhören|das war's|musik|applaus|gute nacht|amen"
    ),
    "fr": (
        "merci|merci beaucoup|merci à tous|merci à vous|au revoir|à bientôt|oui|non|bon|ok|d'accord|voilà"
        "|allez|euh|hein|ah|oh|hum|salut|bonjour|bonsoir|à la prochaine|à tout de suite|à plus"
        "|je vous remercie|musique|et|c'est parti|amen|merci de votre attention|merci pour votre attention"
    ),
    "es": (
        "gracias|muchas gracias|adiós|hasta luego|hasta la próxima|sí|no|bueno|ok|vale|ah|oh|eh|mmm|hola|y"
        "|chao|nos vemos|hasta pronto|música|aplausos|amén|gracias por su atención|buenas noches"
    ),
    "it": (
        "grazie|grazie a tutti|grazie mille|ciao|arrivederci|sì|no|ok|va bene|allora|ah|oh|eh|mmm|e|buonasera"
        "|a presto|alla prossima|musica|applausi|grazie per l'attenzione|buongiorno|amen"
    ),
    "pt": (
        "obrigado|obrigada|muito obrigado|muito obrigada|tchau|tchau tchau|até mais|até logo|até a próxima"
        "|sim|não|ok|tá|é|e|ah|oh|hum|então|olá|oi|beijo|música|aplausos|amém|valeu"
    ),
    "nl": (
        "dank u|dank u wel|dank je|dank je wel|dankjewel|bedankt|dag|doei|tot ziens|ja|nee|oké|ok|en|dus"
        "|hallo|ah|oh|hm|uh|tot de volgende keer|muziek|applaus|amen"
    ),
    "pl": (
        "dziękuję|dziękuję bardzo|dziękuję za uwagę|dzięki|tak|nie|no|dobra|dobrze|okej|ok|cześć|do widzenia"
        "|pa|a|i|o|ach|hej|do zobaczenia|muzyka|oklaski|amen"
    ),
    "ru": (
        "спасибо|большое спасибо|спасибо за внимание|спасибо большое|пока|до свидания|до новых встреч|да|нет"
        "|ну|так|и|а|о|ой|угу|ага|хорошо|ладно|всё|окей|привет|здравствуйте|музыка|спокойной ночи|до встречи"
        "|аминь|смех|песня|вот|э"
    ),
    "uk": (
        "дякую|дуже дякую|дякую за увагу|дякуємо за увагу|бувайте|до побачення|до зустрічі|так|ні|ну|і|а|о"
        "|ага|угу|добре|привіт|музика|все|ой"
    ),
    "tr": (
        "teşekkürler|teşekkür ederim|teşekkür ederiz|çok teşekkür ederim|hoşça kalın|hoşçakalın|görüşürüz"
        "|görüşmek üzere|evet|hayır|tamam|peki|ve|ah|oh|hı|merhaba|iyi günler|iyi geceler|müzik|alkış|sağ olun"
    ),
    "ja": (
        "ありがとうございました|ありがとうございます|ありがとう|はい|うん|ええ|えー|あー|あ|ん|んー"
        "|おやすみなさい|お疲れ様でした|お疲れさまでした|では|それでは|さようなら|バイバイ|じゃあね|またね"
        "|よろしくお願いします|こんにちは|音楽|拍手|本当にありがとうございました|どうもありがとうございました"
        "|終わり|次回|失礼します|また次回お会いしましょう|それではまた次回お会いしましょう"
    ),
    "ko": (
        "감사합니다|고맙습니다|네|예|아니요|응|어|음|아|안녕|안녕하세요|안녕히 계세요|그럼|자|끝|음악|박수"
        "|수고하셨습니다|다음 시간에 만나요|뭐|그래"
    ),
    "zh": (
        "谢谢|謝謝|谢谢大家|謝謝大家|谢谢你|謝謝你|好|好的|嗯|啊|哦|对|對|是|是的|再见|再見|拜拜|下次再见"
        "|下次再見|我们下次再见|我們下次再見|音乐|音樂|掌声|掌聲|你|我|那|喂|晚安|大家好|你好|哎|呃|没有|完"
    ),
    "ar": (
        "موسيقى|شكرا|شكرا لكم|شكرا لك|شكرا جزيلا|نعم|لا|حسنا|مع السلامة|إلى اللقاء|السلام عليكم|أه|آه|يا|و"
        "|مرحبا|تصفيق|والسلام عليكم ورحمة الله وبركاته|السلام عليكم ورحمة الله وبركاته|طيب"
    ),
    "hi": ("धन्यवाद|बहुत धन्यवाद|बहुत बहुत धन्यवाद|शुक्रिया|हाँ|हां|नहीं|जी|ठीक है|अच्छा|नमस्ते|और|तो|आह|ओह|संगीत|अलविदा"),
    "sv": (
        "tack|tack så mycket|tack för mig|hej då|hejdå|hej|ja|nej|okej|ok|och|så|mm|ah|oh|musik|applåder|vi ses|jag"
    ),
    "da": (
        "tak|mange tak|tusind tak|farvel|hej|hej hej|ja|nej|okay|ok|og|så|mm|ah|oh|musik|vi ses|tak for nu"
        "|tak for i dag"
    ),
    "no": (
        "takk|tusen takk|takk for meg|takk for nå|ha det|ha det bra|hei|ja|nei|ok|okei|og|så|mm|ah|oh|musikk"
        "|vi ses|vi sees"
    ),
    "fi": (
        "kiitos|kiitoksia|kiitos paljon|hei|hei hei|moi|moi moi|moikka|joo|ei|kyllä|okei|ok|ja|no|niin|ah|oh"
        "|mm|musiikkia|nähdään|näkemiin"
    ),
    "cs": (
        "děkuji|děkuju|díky|děkuji za pozornost|děkujeme za pozornost|na shledanou|nashledanou|ahoj|čau|ano"
        "|jo|ne|dobře|tak|a|no|ok|ach|hm|hudba|konec|mějte se"
    ),
}

# Of these, what is invented most: they need less evidence.
FAVOURITES = (
    "thank you|thanks|thank you so much|thank you very much|vielen dank|danke|merci|merci beaucoup"
    "|gracias|muchas gracias|grazie|grazie mille|grazie a tutti|obrigado|obrigada|dank u wel|bedankt"
    "|dziękuję|dziękuję bardzo|спасибо|дякую|teşekkürler|teşekkür ederim|ありがとうございました"
    "|ありがとうございます|감사합니다|谢谢|謝謝|谢谢大家|謝謝大家|شكرا|धन्यवाद|tack|tak|takk|kiitos"
    "|děkuji"
)

# Yes, no, stop, bye, digits and the like.
HONEST_REPEATS = """
no yes yeah yep yup nope ok okay okey bye hello hi hey wait stop please sorry thanks right sure well now go come on
help good great wow oh ah ha he ho hee hm mm uh um er la na da ta blah bla very really so much more never again what
why who knock tick tock ding dong beep-beep quick up down left back next cancel quit exit end repeat louder faster
slower perfect fine correct wrong true false exactly absolutely hooray ja nein doch genau halt gut bitte danke
tschuss hallo los aber sehr oui non si merci allez allo ouais voila bon tres d'accord sí vale bueno gracias claro
adios hola espera mucho muy va bene certo dai ciao grazie basta piano sim nao obrigado tchau isso oi nee jawel dag
doei hoi tak nie dobrze halo dobra prosze да нет ладно хорошо так ну угу ага стой стоп пока спасибо конечно привет
ні добре дякую чекай evet hayır tamam dur yok peki alo हाँ हां नहीं जी ठीक है अच्छा बस नमस्ते نعم لا حسنا طيب يلا
كلا ايوه شكرا nej jo kyllä joo ei hei moi nei okei ano ne dobře jasně ahoj はい いいえ うん ううん そう そうそう
いや いえ ええ だめ ちがう 違う 待って まって もしもし どうも ねえ よし ほら やばい ない 네 예 응 아니 아니요 그래
맞아 여보세요 잠깐 빨리 안녕 좋아 对 對 是 好 不 不是 不要 好的 行 是的 没有 沒有 喂 等 等等 快 快点 走 谢谢 謝謝 哈
嗯 哦 啊 不对 不行 可以 再见 拜 zero one two three four five six seven eight nine ten eleven twelve thirteen twenty
thirty forty fifty sixty seventy eighty ninety hundred thousand double triple point dot dash slash star hash null
eins zwei zwo drei vier funf sechs sieben acht neun zehn un une deux trois quatre cinq sept huit neuf dix uno dos
cuatro cinco seis siete ocho nueve diez due tre quattro cinque sei sette otto nove dieci dois quatro oito een twee
drie vijf zes zeven negen jeden dwa trzy cztery piec szesc siedem osiem dziewiec один два три четыре пять шесть семь
восемь девять ноль нуль дві чотири шість сім вісім sıfır bir iki uc dort bes altı yedi sekiz dokuz noll ett tva fyra
fem sex sju atta nio en to fire seks syv otte ni yksi kaksi kolme nelja viisi kuusi seitseman kahdeksan yhdeksan
jedna dva tri ctyri pet sest sedm osm devet ゼロ 零 一 二 三 四 五 六 七 八 九 十 〇 いち に さん よん ご ろく なな
はち きゅう 영 공 일 이 삼 사 오 육 칠 팔 구 صفر واحد اثنان ثلاثة a b c d e f g h i j k l m n o p q r s t u v w x y
z
"""
